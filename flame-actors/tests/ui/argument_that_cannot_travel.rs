use flame_actors::{remote, task};

struct Socket;

#[remote]
async fn send(to: Socket, also: Vec<Option<Socket>>) {
    let _ = (to, also);
}

fn main() {
    let socket = Socket;
    let _task = task!([socket: Socket] { drop(socket) });
    let _task = send(Socket, Vec::new());
}
