use flame_actors::{LocalMessage, placeable};
use ractor::{Actor, ActorProcessingErr, ActorRef};

#[derive(LocalMessage)]
struct Tick;

struct Socket;

struct Worker;

#[placeable]
impl Actor for Worker {
    type Msg = Tick;
    type State = ();
    type Arguments = Socket;

    async fn pre_start(&self, _: ActorRef<Tick>, _: Socket) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

fn main() {}
