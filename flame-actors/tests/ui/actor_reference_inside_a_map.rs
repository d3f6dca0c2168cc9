use std::collections::HashMap;

use flame_actors::{Message, remote};
use ractor::ActorRef;

#[derive(Message)]
enum Group {
    Members(HashMap<String, ActorRef<Group>>),
    Pair([ActorRef<Group>; 2]),
}

#[remote]
async fn members(of: HashMap<String, ActorRef<Group>>) -> Vec<ActorRef> {
    Vec::new()
}

fn main() {}
