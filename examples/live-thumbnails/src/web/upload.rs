//! The connection of one upload: its bytes come in, as fast as the generator on the runner takes them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use flame_actors::ractor::{ActorRef, call};
use flame_actors::{ActorAddr, BoundedSender, Error};
use serde::Deserialize;
use tokio::time::timeout;

use super::owner::{Owner, is_ours};
use crate::app::App;
use crate::generator::{GeneratorMsg, IN_FLIGHT, Open, ThumbnailGenerator};
use crate::settings::Settings;
use crate::visitor::{VisitorMsg, too_large};
use crate::visitors::Seat;
use crate::words;

/// The most that a browser may send at once.
const CHUNK: usize = 256 * 1024;
/// A browser that sends nothing for so long sends nothing any more.
const SILENCE: Duration = Duration::from_secs(60);

/// What a page says of a file that it is about to upload.
#[derive(Deserialize)]
pub(super) struct About {
    visitor: String,
    name: String,
    size: Option<u64>,
    rate: Option<String>,
    unit: Option<String>,
    width: Option<String>,
}

pub(super) async fn open(
    State(app): State<Arc<App>>,
    Query(about): Query<About>,
    headers: HeaderMap,
    ws: WebSocketUpgrade,
) -> Response {
    let seat = app.visitors.find(&about.visitor);
    let owner = Owner::of(&headers);
    match seat.filter(|seat| owner.is_some_and(|owner| owner.id() == seat.owner)) {
        Some(seat) if is_ours(&headers) => ws
            .max_message_size(CHUNK)
            .on_upgrade(|socket| async move { Upload { app, seat, about, socket }.run().await }),
        _ => (StatusCode::FORBIDDEN, "no page of ours").into_response(),
    }
}

struct Upload {
    app: Arc<App>,
    seat: Seat,
    about: About,
    socket: WebSocket,
}

impl Upload {
    async fn run(mut self) {
        let (name, size) = (self.about.name.clone(), self.about.size);
        let begun = call!(self.seat.actor, |reply| VisitorMsg::Begin { name, size, reply });
        // Without one the page has been told why, or is gone.
        if let Ok(Some((number, video))) = begun {
            let mut active = self.seat.active.clone();
            tokio::select! {
                fed = self.feed(number, video) => {
                    let told = match fed {
                        Ok(()) => VisitorMsg::Sent { upload: number },
                        Err(reason) => VisitorMsg::Failed { upload: number, reason },
                    };
                    let _ = self.seat.actor.cast(told);
                }
                // It was cancelled, or its runner was lost, or the page is gone.
                _ = active.wait_for(|active| !active.contains(&number)) => {}
            }
        }
        let _ = self.socket.send(Message::Close(Some(CloseFrame { code: 1000, reason: "".into() }))).await;
    }

    // ANCHOR: feed
    /// Places a generator for this upload and hands it the bytes as they come, no faster than it takes them.
    async fn feed(&mut self, number: u64, video: String) -> Result<(), String> {
        let open = self.open_generator(number, video)?;
        let generator = tokio::select! {
            placed = place(&self.app, &self.seat, open) => placed.map_err(|err| words::not_placed(&err))?,
            end = gone(&mut self.socket) => return Err(end),
        };
        let _ = self.seat.actor.cast(VisitorMsg::Placed { upload: number, generator: generator.clone() });
        let generator = BoundedSender::new(generator, IN_FLIGHT);
        let mut received = 0;
        self.tell(&format!(r#"{{"upload":{number},"received":0}}"#)).await?;
        while let Some(chunk) = self.next_chunk().await? {
            received += chunk.len() as u64;
            if received > self.app.cli.max_upload {
                return Err(too_large(self.app.cli.max_upload));
            }
            if generator.send(GeneratorMsg::Chunk(chunk)).await.is_err() {
                // Its end, with the reason, is on its way to the page.
                return std::future::pending().await;
            }
            self.tell(&format!(r#"{{"received":{received}}}"#)).await?;
        }
        let _ = generator.actor().cast(GeneratorMsg::Close);
        Ok(())
    }
    // ANCHOR_END: feed

    fn open_generator(&self, upload: u64, video: String) -> Result<Open, String> {
        let About { rate, unit, width, name, .. } = &self.about;
        let settings = self.app.cli.settings().parse(rate.as_deref(), unit.as_deref(), width.as_deref());
        let settings: Settings = settings.map_err(|err| words::sentence(&err))?;
        Ok(Open {
            visitor: ActorAddr::from(&self.seat.actor),
            upload,
            video,
            owner: self.seat.owner.clone(),
            name: crate::name::clean(name),
            settings,
            time_limit: self.app.cli.time_limit,
        })
    }

    /// The next bytes; nothing once the browser has said that this was all.
    async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            let silence = || format!("Nothing came from the browser for {} seconds.", SILENCE.as_secs());
            match timeout(SILENCE, self.socket.recv()).await.map_err(|_| silence())? {
                Some(Ok(Message::Binary(chunk))) => return Ok(Some(chunk.into())),
                Some(Ok(Message::Text(_))) => return Ok(None),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                message => return Err(why(message)),
            }
        }
    }

    async fn tell(&mut self, what: &str) -> Result<(), String> {
        match timeout(SILENCE, self.socket.send(Message::text(what))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(why(None)),
        }
    }
}

// ANCHOR: place
/// Starts the generator on a runner, linked to its page. Here it would be `Actor::spawn_linked`.
async fn place(app: &App, page: &Seat, open: Open) -> Result<ActorRef<GeneratorMsg>, Error> {
    app.pool.place_child(ThumbnailGenerator, open).linked_to(&page.actor).timeout(app.cli.wait).await
}
// ANCHOR_END: place

/// Returns when the browser gives up; before it is told to begin it has nothing else to say.
async fn gone(socket: &mut WebSocket) -> String {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            message => return why(message),
        }
    }
}

fn why(message: Option<Result<Message, axum::Error>>) -> String {
    match message {
        Some(Ok(Message::Close(Some(frame)))) if frame.code == 4000 => {
            "The browser could not read the file.".to_owned()
        }
        Some(Err(err)) => words::sentence(&format!("the upload broke off: {err}")),
        _ => "The upload broke off.".to_owned(),
    }
}
