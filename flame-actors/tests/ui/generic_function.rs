use flame_actors::remote;

#[remote]
async fn first<T: Send>(items: Vec<T>) -> Option<T>
where
    T: Clone,
{
    items.into_iter().next()
}

fn main() {}
