use flame_actors::{LocalMessage, Message, remote};
use ractor::ActorRef;

#[derive(LocalMessage)]
struct Local;

#[derive(Message)]
struct Subscribe(ActorRef<Local>);

#[remote]
async fn subscribe(to: ActorRef<Local>) {
    drop(to);
}

fn main() {}
