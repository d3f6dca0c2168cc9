//! What the page shows is the same wherever the thumbnails are made.

use flame_fly_sim::{Output, Simulator};
use tokio::runtime::Runtime;

use crate::page::Page;
use crate::server::Server;

/// The sample has so many seconds, and a thumbnail is made of each.
const IMAGES: usize = 20;

/// Uploads the sample; all of its thumbnails are shown, and are in the gallery from then on. Gives the runner's node.
fn thumbnails_are_shown_and_kept(server: &Server) -> String {
    let mut page = Page::open(server);
    let sample = page.get("/sample.mkv").bytes;
    let shown = page.upload("sample.mkv", &sample);
    assert_eq!((&shown.state[..], shown.images), ("done", IMAGES), "{:#?}", shown.changes);
    let index = page.get("/").body;
    assert!(index.contains(&format!("data-count=\"{IMAGES}\"")), "{index}");
    let (_, rest) = index.split_once("data-video=\"").expect("the gallery has it");
    let (video, _) = rest.split_once('"').expect("its id ends");
    for number in [0, IMAGES - 1] {
        let image = page.get(&format!("/videos/{video}/{number}.jpg"));
        assert!(image.status == 200 && image.bytes.starts_with(&[0xff, 0xd8]), "{number}: {}", image.status);
    }
    let (_, rest) = index.split_once("by runner <b title=\"").expect("who made them is kept");
    rest.split_once('"').expect("its name ends").0.to_owned()
}

#[test]
fn tasks_of_the_server_make_thumbnails() {
    let server = Server::start(&["--backend", "in-process"]);
    thumbnails_are_shown_and_kept(&server);
}

#[test]
fn machines_of_fly_make_thumbnails_without_the_servers_disk() {
    let runtime = Runtime::new().unwrap();
    let builder = Simulator::builder().any_image("/bin/false").output(Output::Quiet);
    let simulator = runtime.block_on(builder.start()).unwrap();
    let mut variables = simulator.environment();
    // A machine has this only if it is given it.
    variables.push(("LIVE_BACKEND".to_owned(), "fly".to_owned()));
    let server = Server::start_with(&["--wait", "60"], variables);
    let node = thumbnails_are_shown_and_kept(&server);
    assert!(node.contains(".ffmpeg-"), "{node} is no runner");
    assert_eq!(simulator.machines().len(), 1, "{:?}", simulator.machines());
    assert_eq!(simulator.violations(), []);
    drop(server);
    runtime.block_on(simulator.stop());
}
