use flame_actors::Message;
use ractor::RpcReplyPort;

#[derive(Message)]
enum Question {
    Both(RpcReplyPort<u64>, RpcReplyPort<String>),
    Maybe(Option<RpcReplyPort<u64>>),
}

fn main() {}
