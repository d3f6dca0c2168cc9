use flame_actors::{Message, placeable};
use ractor::{Actor, ActorProcessingErr, ActorRef};

#[derive(Message)]
struct Tick;

struct Worker<T>(std::marker::PhantomData<T>);

#[placeable]
impl<T: Send + Sync + 'static> Actor for Worker<T> {
    type Msg = Tick;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Tick>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

fn main() {}
