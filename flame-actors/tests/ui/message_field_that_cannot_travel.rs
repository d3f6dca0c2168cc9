use flame_actors::Message;
use ractor::RpcReplyPort;

struct Socket;

#[derive(Message)]
enum Upload {
    Open { socket: Socket },
    Close,
}

#[derive(Message)]
struct Take(RpcReplyPort<Option<Socket>>);

fn main() {
    let _ = Upload::Close;
}
