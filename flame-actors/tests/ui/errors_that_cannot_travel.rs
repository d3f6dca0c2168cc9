use std::collections::HashMap;
use std::io;

use flame_actors::{Message, remote};

type Fallible<T> = std::result::Result<T, io::Error>;

struct Local;

#[remote]
async fn by_path(path: String) -> io::Result<Vec<u8>> {
    std::fs::read(path)
}

#[remote]
async fn by_alias(path: String) -> Fallible<Vec<u8>> {
    std::fs::read(path)
}

#[remote]
async fn boxed() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ok(())
}

#[remote]
async fn of_anyhow() -> anyhow::Result<Local> {
    Ok(Local)
}

#[remote]
async fn inside_a_map() -> HashMap<u8, anyhow::Error> {
    HashMap::new()
}

#[derive(Message)]
enum InAMessage {
    Failed(anyhow::Error),
}

fn main() {}
