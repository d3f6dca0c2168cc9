use flame_actors::{Message, placeable};
use ractor::{Actor, ActorProcessingErr, ActorRef};

#[derive(Message)]
struct Tick;

struct Worker {
    number: u32,
}

#[placeable]
impl Actor for Worker {
    type Msg = Tick;
    type State = u32;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Tick>, (): ()) -> Result<u32, ActorProcessingErr> {
        Ok(self.number)
    }
}

fn main() {}
