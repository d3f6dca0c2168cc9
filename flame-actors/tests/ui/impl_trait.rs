use flame_actors::remote;

#[remote]
async fn numbers() -> impl Iterator<Item = u8> {
    std::iter::empty()
}

#[remote]
async fn sum(numbers: impl Iterator<Item = u8>) -> u8 {
    numbers.sum()
}

fn main() {}
