use flame_actors::task;

fn main() {
    let (a, b) = (1_u8, 2_u8);
    let _task = task!([a: u8] -> u8 { a + b });
}
