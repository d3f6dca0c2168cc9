//! The actor that stands for a client: whoever has its ref, on whatever node, can tell the client something.

use flame_actors::Message;
use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::mpsc::Sender;

/// What a client is told.
#[derive(Message)]
pub(crate) enum ClientMsg {
    /// A line for its terminal.
    Line(String),
}

/// Passes lines on to a queue of bounded length, from which they are written to the client.
///
/// It never waits, so no client holds up a room. One whose queue is full does not read what it is sent: its actor ends,
/// and with it its connection.
pub(crate) struct Client;

impl Actor for Client {
    type Msg = ClientMsg;
    type State = Sender<String>;
    type Arguments = Sender<String>;

    async fn pre_start(
        &self,
        _: ActorRef<ClientMsg>,
        queue: Sender<String>,
    ) -> Result<Sender<String>, ActorProcessingErr> {
        Ok(queue)
    }

    async fn handle(
        &self,
        myself: ActorRef<ClientMsg>,
        ClientMsg::Line(line): ClientMsg,
        queue: &mut Sender<String>,
    ) -> Result<(), ActorProcessingErr> {
        if queue.try_send(line).is_err() {
            myself.stop(Some("it does not read what it is sent".to_owned()));
        }
        Ok(())
    }
}
