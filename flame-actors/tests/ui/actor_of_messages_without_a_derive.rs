use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};

struct Plain;

struct Worker;

impl Actor for Worker {
    type Msg = Plain;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Plain>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

fn main() {}
