use std::path::Path;

use super::*;
use crate::jpeg::Cutter;

const EACH_SECOND: Settings = Settings { every: 1.0, width: 64 };

/// A clip of three seconds.
fn clip(path: &Path) {
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=duration=3:size=128x72:rate=10"]);
    assert!(ffmpeg.args(["-c:v", "mpeg2video"]).arg(path).status().expect("this test needs ffmpeg").success());
}

async fn count(mut output: ChildStdout) -> Result<u32> {
    let (mut cutter, mut bytes) = (Cutter::default(), Vec::new());
    output.read_to_end(&mut bytes).await?;
    Ok(cutter.push(&bytes)?.len() as u32)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

async fn decode(file: &Path, through: fn(std::fs::File) -> Input) -> Result<Decoded> {
    let mut decoder = Decoder::start(through(std::fs::File::open(file)?), EACH_SECOND, soon(), count)?;
    // A broken pipe is explained by the end.
    let _ = decoder.write(&std::fs::read(file)?).await;
    decoder.finish().await
}

#[tokio::test]
async fn a_video_becomes_images_through_a_pipe_and_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.ts");
    clip(&path);
    assert_eq!(decode(&path, |_| Input::Pipe).await.unwrap().images, 3);
    assert_eq!(decode(&path, Input::File).await.unwrap().images, 3);
}

#[tokio::test]
async fn a_list_of_other_files_is_no_video() {
    let dir = tempfile::tempdir().unwrap();
    let (path, list) = (dir.path().join("clip.ts"), dir.path().join("list"));
    clip(&path);
    let path = path.display();
    for text in [
        format!("ffconcat version 1.0\nfile '{path}'\n"),
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{path}\n#EXT-X-ENDLIST\n"),
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile:{path}\n#EXT-X-ENDLIST\n"),
    ] {
        std::fs::write(&list, &text).unwrap();
        for through in [|_| Input::Pipe, Input::File] {
            let err = decode(&list, through).await.unwrap_err().to_string();
            assert!(err.starts_with("this is no video that ffmpeg can read"), "{text}: {err}");
        }
    }
}

#[tokio::test]
async fn ffmpeg_is_ended_when_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.ts");
    clip(&path);
    let deadline = Instant::now() + Duration::from_millis(200);
    // Nobody reads its images.
    let unread = |output| async move {
        std::future::pending::<()>().await;
        drop::<ChildStdout>(output);
        Ok(0)
    };
    let mut decoder = Decoder::start(Input::Pipe, EACH_SECOND, deadline, unread).unwrap();
    let (process, bytes) = (decoder.process.id().unwrap(), std::fs::read(&path).unwrap());
    let ended = loop {
        if let Err(err) = decoder.write(&bytes).await {
            break err;
        }
    };
    assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    drop(decoder);
    assert!(!Path::new(&format!("/proc/{process}")).exists(), "its end takes ffmpeg along");
}

#[test]
fn of_ffmpegs_words_the_last_line_is_shown_without_addresses() {
    let text = "[mov @ 0x55] moov atom not found\npipe:0: Invalid data found when processing input\n\n";
    assert_eq!(last_line(text), "moov atom not found");
    assert_eq!(last_line(text.split_once('\n').unwrap().1), GENERAL);
    assert_eq!(
        last_line("[matroska,webm @ 0x7f12] Format not on whitelist \x1b[31m\n"),
        "Format not on whitelist [31m"
    );
    assert_eq!(last_line(""), "");
}

#[tokio::test]
async fn an_ffmpeg_that_was_killed_has_not_finished_its_video() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.ts");
    clip(&path);
    let mut decoder = Decoder::start(Input::Pipe, EACH_SECOND, soon(), count).unwrap();
    decoder.write(&std::fs::read(&path).unwrap()).await.unwrap();
    decoder.process.start_kill().unwrap();
    assert_eq!(decoder.finish().await.unwrap_err().to_string(), "ffmpeg was ended by signal 9");
}
