//! One page: the actor that knows its uploads, gets their thumbnails from the runners, and shows them at once.

use std::collections::{BTreeMap, BTreeSet};

use flame_actors::Message;
use flame_actors::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::{mpsc, watch};

use crate::db::{Db, Video};
use crate::ffmpeg::MAX_IMAGES;
use crate::generator::GeneratorMsg;
use crate::page::{gallery, upload};
use crate::patch::{Patch, append, prepend, replace};
use crate::recorder::Recorder;
use crate::words;

/// One visitor's page, what a LiveView is in Phoenix.
pub(crate) struct Visitor;

/// What a visitor's actor is told: by its uploads, by its page, and by generators on runners.
#[derive(Message)]
pub(crate) enum VisitorMsg {
    /// A file is to be uploaded; the number and the id of the upload, or nothing when the page is told why not.
    Begin { name: String, size: Option<u64>, reply: RpcReplyPort<Option<(u64, String)>> },
    /// Its generator runs.
    Placed { upload: u64, generator: ActorRef<GeneratorMsg> },
    /// All bytes have been handed to the generator.
    Sent { upload: u64 },
    /// The upload cannot go on.
    Failed { upload: u64, reason: String },
    /// The visitor wants no more of it.
    Cancel { upload: u64 },
    /// A video of the gallery is not wanted any more.
    Remove { video: String },
    /// From the runner: the generator is there.
    Started { upload: u64, node: String, pid: u32, machine: String },
    /// From the runner: nothing can be decoded before all of it has come.
    IndexAtEnd { upload: u64 },
    /// From the runner: the next thumbnail.
    Image {
        upload: u64,
        second: f64,
        #[serde(with = "serde_bytes")]
        jpeg: Vec<u8>,
    },
    /// From the runner: that was all, so many, and perhaps what ffmpeg was not happy with.
    Done { upload: u64, images: u32, complaint: String },
}

/// What a visitor's actor starts with.
pub(crate) struct Arguments {
    /// Where changes of the page go.
    pub(crate) page: mpsc::Sender<String>,
    /// The uploads that are under way: whoever feeds one stops when it is not among them.
    pub(crate) active: watch::Sender<BTreeSet<u64>>,
    pub(crate) owner: String,
    pub(crate) db: Db,
    /// Where thumbnails are recorded when runners cannot do that themselves.
    pub(crate) recorder: Recorder,
    pub(crate) limits: Limits,
}

/// How much one visitor may upload.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) uploads: usize,
    pub(crate) bytes: u64,
}

pub(crate) struct State {
    arguments: Arguments,
    next: u64,
    uploads: BTreeMap<u64, Upload>,
}

/// An upload that is under way.
pub(crate) struct Upload {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) size: Option<u64>,
    pub(crate) stage: Stage,
    pub(crate) images: u32,
    /// What is to be said of it when it is done.
    pub(crate) note: Option<String>,
    /// What the database knows it by.
    video: String,
    generator: Option<ActorRef<GeneratorMsg>>,
}

/// How far an upload is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    Waiting,
    Uploading,
    Spooling,
    Finishing,
    Done,
    Cancelled,
    Failed(String),
}

impl Actor for Visitor {
    type Msg = VisitorMsg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, _: ActorRef<VisitorMsg>, arguments: Arguments) -> Result<State, ActorProcessingErr> {
        Ok(State { arguments, next: 1, uploads: BTreeMap::new() })
    }

    async fn handle(
        &self,
        _: ActorRef<VisitorMsg>,
        message: VisitorMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.handle(message).await.map_err(|err| format!("{err:#}").into())
    }

    // ANCHOR: links
    /// A generator is linked to its page: its end comes here, with its error or with what became of its runner.
    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<VisitorMsg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (generator, stage) = match event {
            SupervisionEvent::ActorFailed(generator, err) => (generator, Stage::Failed(words::failed(&*err))),
            SupervisionEvent::ActorTerminated(generator, _, reason) => {
                let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
                (generator, Stage::Failed(words::sentence(&format!("the generator ended: {reason}"))))
            }
            _ => return Ok(()),
        };
        let is_its = |upload: &&Upload| upload.generator.as_ref().is_some_and(|it| it.get_id() == generator.get_id());
        if let Some(number) = state.uploads.values().find(is_its).map(|upload| upload.number) {
            state.settle(number, stage).await?;
        }
        Ok(())
    }
    // ANCHOR_END: links

    async fn post_stop(&self, _: ActorRef<VisitorMsg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        for upload in std::mem::take(&mut state.uploads).into_values() {
            // It has not finished: a stop would wait for what it is doing, which may be an ffmpeg that hangs.
            upload.generator.inspect(|generator| generator.kill());
            state.arguments.db.forget(&upload.video).await?;
        }
        Ok(())
    }
}

impl State {
    async fn handle(&mut self, message: VisitorMsg) -> anyhow::Result<()> {
        match message {
            VisitorMsg::Begin { name, size, reply } => {
                let begun = self.begin(name, size).await?;
                // Who asked may have gone: then it is told so by nobody, and says so itself.
                let _ = reply.send(begun);
            }
            VisitorMsg::Placed { upload: number, generator } => match self.uploads.get_mut(&number) {
                Some(upload) => {
                    upload.generator = Some(generator);
                    self.advance(number, Stage::Uploading).await?;
                }
                // It was cancelled in the meantime.
                None => generator.kill(),
            },
            VisitorMsg::Sent { upload } => self.advance(upload, Stage::Finishing).await?,
            VisitorMsg::IndexAtEnd { upload } => self.advance(upload, Stage::Spooling).await?,
            VisitorMsg::Failed { upload, reason } => self.settle(upload, Stage::Failed(reason)).await?,
            VisitorMsg::Cancel { upload } => self.settle(upload, Stage::Cancelled).await?,
            VisitorMsg::Remove { video } => {
                self.arguments.db.remove(&self.arguments.owner, &video).await?;
                self.show_gallery().await?;
            }
            VisitorMsg::Started { upload: number, node, pid, machine } => {
                if let Some(Upload { video, name, .. }) = self.uploads.get(&number) {
                    let Arguments { owner, recorder, .. } = &self.arguments;
                    recorder.begin(&Video { id: video, owner, name, node: &node, pid, machine: &machine }).await?;
                    self.show(replace(&upload::id(number, "runner"), upload::runner(&node, pid, &machine))).await;
                }
            }
            // ANCHOR: show
            VisitorMsg::Image { upload: number, second, jpeg } => {
                if let Some(upload) = self.uploads.get_mut(&number) {
                    self.arguments.recorder.add(&upload.video, upload.images, second, &jpeg).await?;
                    upload.images += 1;
                    let (count, image) = (upload::count(upload.images), upload::image(&upload.name, second, &jpeg));
                    self.show(append(&upload::id(number, "images"), image)).await;
                    self.show(replace(&upload::id(number, "count"), count)).await;
                }
            }
            // ANCHOR_END: show
            VisitorMsg::Done { upload, images, complaint } => {
                tracing::debug!(upload, images, "done");
                if let Some(upload) = self.uploads.get_mut(&upload) {
                    upload.note = note(images, &complaint);
                    self.arguments.recorder.finish(&upload.video).await?;
                }
                self.settle(upload, Stage::Done).await?;
                self.show_gallery().await?;
            }
        }
        Ok(())
    }

    async fn begin(&mut self, name: String, size: Option<u64>) -> anyhow::Result<Option<(u64, String)>> {
        let (number, Limits { uploads, bytes }) = (self.next, self.arguments.limits);
        self.next += 1;
        let video = ulid::Ulid::new().to_string().to_lowercase();
        let (name, stage, generator) = (crate::name::clean(&name), Stage::Waiting, None);
        let mut upload = Upload { number, name, size, stage, images: 0, note: None, video: video.clone(), generator };
        let refused = match size {
            Some(size) if size > bytes => Some(too_large(bytes)),
            _ if self.uploads.len() >= uploads => Some(format!("Too many uploads: {uploads} are under way already.")),
            _ => None,
        };
        let is_refused = refused.is_some();
        upload.stage = refused.map_or(Stage::Waiting, Stage::Failed);
        self.show(prepend("uploads", upload::card(&upload))).await;
        if is_refused {
            return Ok(None);
        }
        self.uploads.insert(number, upload);
        self.arguments.active.send_modify(|active| _ = active.insert(number));
        Ok(Some((number, video)))
    }

    /// An upload is further than before.
    async fn advance(&mut self, number: u64, stage: Stage) -> anyhow::Result<()> {
        // What follows from the first bytes may overtake that they are being sent.
        let is_later = |upload: &&mut Upload| upload.stage.rank() < stage.rank();
        let Some(upload) = self.uploads.get_mut(&number).filter(is_later) else { return Ok(()) };
        upload.stage = stage;
        let changes = changes(upload);
        self.show_all(changes).await;
        Ok(())
    }

    /// An upload has ended, in whatever way; the first one counts.
    async fn settle(&mut self, number: u64, stage: Stage) -> anyhow::Result<()> {
        let Some(mut upload) = self.uploads.remove(&number) else { return Ok(()) };
        self.arguments.active.send_modify(|active| _ = active.remove(&number));
        match (&stage, upload.generator.take()) {
            (_, None) => {}
            (Stage::Done, Some(generator)) => generator.stop(None),
            (_, Some(generator)) => generator.kill(),
        }
        if stage != Stage::Done {
            self.arguments.db.forget(&upload.video).await?;
        }
        upload.stage = stage;
        self.show_all(changes(&upload)).await;
        Ok(())
    }

    async fn show_gallery(&self) -> anyhow::Result<()> {
        let kept = self.arguments.db.gallery(&self.arguments.owner).await?;
        self.show(replace("gallery", gallery::videos(&kept))).await;
        Ok(())
    }

    async fn show_all(&self, changes: Vec<String>) {
        for change in changes {
            self.show(change).await;
        }
    }

    /// Waits while the page is slow, and so does then, one behind the other, all that feeds it up to the browser's
    /// own socket.
    async fn show(&self, change: String) {
        // A page that has gone is about to stop this actor, which has something to clear away then.
        let _ = self.arguments.page.send(change).await;
    }
}

/// What a page shows of an upload's stage: the words first, so that whoever sees the state finds them.
fn changes(upload: &Upload) -> Vec<String> {
    let card = upload::id(upload.number, "card");
    let state = Patch::Set { id: &card, name: "data-state", value: upload.stage.name() }.json();
    vec![replace(&upload::id(upload.number, "stage"), upload::stage(upload)), state]
}

/// What there is to say of a video that is done.
fn note(images: u32, complaint: &str) -> Option<String> {
    match (images, complaint) {
        (MAX_IMAGES, _) => Some(format!("Only the first {MAX_IMAGES} thumbnails were made.")),
        (_, "") => None,
        (_, complaint) => Some(words::sentence(&format!("it was not read in full: {complaint}"))),
    }
}

/// The video is larger than it may be.
pub(crate) fn too_large(limit: u64) -> String {
    format!("Too large: a video may have {}.", upload::bytes(limit))
}

impl Stage {
    /// What tests and styles know it by.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Uploading => "uploading",
            Self::Spooling => "spooling",
            Self::Finishing => "finishing",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed(_) => "failed",
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed(_))
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Uploading => 1,
            Self::Spooling => 2,
            Self::Finishing => 3,
            Self::Done | Self::Cancelled | Self::Failed(_) => 4,
        }
    }
}
