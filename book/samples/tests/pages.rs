//! The pages lead where they say, show what is compiled, and leave nothing out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use flame_book::{FOLLOWED, Page, read, root, sources};

#[test]
fn links_and_anchors_lead_somewhere() {
    let mut checked = 0;
    for page in Page::all() {
        for link in page.links().iter().filter(|link| !link.is_empty() && !link.contains("://")) {
            let (path, anchor) = page.target(link);
            assert!(path.exists(), "{}: {link} is not there", page.name);
            let file = path.canonicalize().unwrap();
            let name = file.strip_prefix(sources()).unwrap_or_else(|_| panic!("{}: {link} is no page", page.name));
            if let Some(anchor) = anchor {
                let there = Page::open(name.to_str().unwrap()).anchors();
                assert!(there.contains(&anchor), "{}: {link}: there is {there:?}", page.name);
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} links: has their form changed?");
}

#[test]
fn every_page_and_picture_is_used() {
    let pages = Page::all();
    let listed: BTreeSet<_> = pages.iter().map(|page| page.name.clone()).collect();
    for path in files(&sources()) {
        let name = path.strip_prefix(sources()).unwrap().to_str().unwrap().to_owned();
        let used = listed.contains(&name) || pages.iter().any(|page| page.source.contains(&format!("({name})")));
        assert!(used, "{name} is neither in SUMMARY.md nor on a page");
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn code_in_rust_comes_from_what_is_compiled() {
    let mut shown = 0;
    for page in Page::all() {
        for block in page.written_blocks().iter().filter(|block| block.info.starts_with("rust")) {
            let is_included = block.body.starts_with("{{#include ") && block.body.lines().count() == 1;
            assert!(is_included, "{}: this is not included: {}", page.name, block.body);
            shown += 1;
        }
    }
    assert!(shown > 50, "only {shown} blocks: has their form changed?");
}

#[test]
fn commands_are_on_pages_that_are_followed() {
    let followed: BTreeSet<_> = FOLLOWED.iter().flat_map(|(_, pages)| pages.iter().copied()).collect();
    for page in Page::all() {
        let is_followed = followed.contains(page.name.as_str());
        for block in page.blocks() {
            assert!(is_followed || block.info != "console", "{}: nobody runs {}", page.name, block.body);
            let known = ["rust", "console", "toml", "json", "text", "elixir"];
            assert!(known.contains(&block.info.as_str()), "{}: a block of {:?}", page.name, block.info);
        }
        let in_tutorial = page.name.starts_with("tutorial/");
        assert!(is_followed || !in_tutorial, "{} is not followed: see FOLLOWED in samples/src/lib.rs", page.name);
    }
}

#[test]
fn names_in_code_exist() {
    let sources =
        ["flame-actors/src", "flame-actors/macros/src", "flame-local/src", "flame-fly/src", "flame-fly/sim/src"];
    let code: String = sources.iter().flat_map(|folder| files(&root().join(folder))).map(|file| read(&file)).collect();
    let types = [
        "Backend",
        "Boot",
        "ByteSink",
        "ByteStream",
        "Cause",
        "ChildError",
        "Error",
        "Event",
        "Fault",
        "FlyBackend",
        "Node",
        "NodeBuilder",
        "Parent",
        "Pool",
        "PoolBuilder",
        "StreamError",
    ];
    for page in Page::all() {
        for name in codes(&page.source) {
            let Some((owner, rest)) = name.split_once("::") else { continue };
            let item: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if types.contains(&owner) {
                let there =
                    [format!("fn {item}"), format!("    {item} "), format!("    {item}("), format!("    {item},")];
                assert!(there.iter().any(|there| code.contains(there)), "{}: {name} does not exist", page.name);
            }
        }
    }
}

/// What is set as code within lines.
fn codes(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The first cell of each row that begins with code, of a page.
fn rows(page: &str) -> BTreeSet<String> {
    let page = Page::open(page);
    let rows = page.source.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name.to_owned()).collect()
}

/// The settings of a builder: its public methods that take it by value and give it back.
fn settings(file: &str, builder: &str) -> BTreeSet<String> {
    let source = read(&root().join(file));
    let blocks = source.split(builder).skip(1).filter(|block| block.starts_with([' ', '{']));
    let lines = blocks.flat_map(|block| block.split("\n}\n").next().unwrap_or_default().lines());
    let names = lines.filter_map(|line| line.strip_prefix("    pub fn ")?.split_once(['(', '<']));
    let by_value = |rest: &str| rest.contains("mut self") || (rest.contains("self") && rest.contains(") -> Self"));
    let taken: BTreeSet<_> = names.filter(|(_, rest)| by_value(rest)).map(|(name, _)| name.to_owned()).collect();
    assert!(!taken.is_empty(), "{file}: {builder} has no settings: has its form changed?");
    taken
}

fn has_all(page: &str, of: &str, wanted: &BTreeSet<String>) {
    let rows = rows(page);
    let missing: Vec<_> = wanted.iter().filter(|name| !rows.contains(*name)).collect();
    assert!(missing.is_empty(), "{page} does not have all of {of}: {missing:?}");
}

#[test]
fn every_setting_is_on_its_page() {
    has_all("pools.md", "PoolBuilder", &settings("flame-actors/src/pool/config.rs", "impl PoolBuilder"));
    has_all("backends.md", "NodeBuilder", &settings("flame-actors/src/node/builder.rs", "impl NodeBuilder"));
    let mut process = settings("flame-local/src/process.rs", "impl ProcessBackend");
    process.insert("args".to_owned());
    has_all("backends.md", "ProcessBackend", &process);
    has_all("calls.md", "Call", &settings("flame-actors/src/call.rs", "impl<R: Send + 'static> Call<R>"));
    has_all("calls.md", "Cast", &settings("flame-actors/src/call.rs", "impl<R: Send + 'static> Cast<R>"));
    let place = settings("flame-actors/src/place.rs", "A::Arguments: Serialize + DeserializeOwned,\n");
    has_all("placed-actors.md", "Place", &place);
    has_all("fly.md", "FlyBackend", &settings("flame-fly/src/options.rs", "impl FlyBackend"));
    let streaming = settings("flame-actors/src/yields/streaming.rs", "impl<T: Send + 'static> Streaming<T>");
    has_all("streams.md", "Streaming", &streaming);
    has_all("streams.md", "Map", &settings("flame-actors/src/map.rs", "impl<'a, R: Send + 'static> Map<'a, R>"));
    has_all("streams.md", "ByteStream", &settings("flame-actors/src/stream.rs", "impl ByteStream"));
}

#[test]
fn the_defaults_of_a_pool_are_those_of_the_page() {
    let defaults = format!("{:?}", flame_actors::Pool::builder("x"));
    let page = Page::open("pools.md");
    let mut compared = 0;
    for row in page.source.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split(" | ").collect();
        let name = cells[0].trim_matches(['|', ' ', '`']);
        let value = match cells[1].trim_matches('`') {
            "no bound" => usize::MAX.to_string(),
            "never" => format!("{:?}", std::time::Duration::MAX),
            value if value == "false" || value.starts_with(|c: char| c.is_ascii_digit()) => value.replace(' ', ""),
            "InProcess" => "InProcess".to_owned(),
            _ => continue,
        };
        assert!(defaults.contains(&format!("{name}: {value}")), "{name} is not {value}: {defaults}");
        compared += 1;
    }
    assert!(compared >= 14, "only {compared} options: has the form of the page changed?");
}

/// The variants of an enum.
fn variants(file: &str, name: &str) -> BTreeSet<String> {
    let source = read(&root().join(file));
    let body = source.split(&format!("pub enum {name} {{\n")).nth(1).and_then(|rest| rest.split("\n}").next());
    let lines = body.expect("the enum is there").lines().filter_map(|line| line.strip_prefix("    "));
    let names = lines.filter_map(|line| line.split([' ', '(', ',', '{']).next());
    names.filter(|name| name.starts_with(char::is_uppercase)).map(str::to_owned).collect()
}

#[test]
fn every_error_is_on_the_page_about_failures() {
    let errors = variants("flame-actors/src/error.rs", "Error");
    assert!(errors.len() > 20, "{errors:?}");
    has_all("failures.md", "Error", &errors);
    has_all("streams.md", "StreamError", &variants("flame-actors/src/stream/error.rs", "StreamError"));
    has_all("placed-actors.md", "ChildError", &variants("flame-actors/src/error.rs", "ChildError"));
    let policies = variants("flame-actors/src/place/restart.rs", "Restart");
    has_all("placed-actors.md", "Restart", &policies.iter().map(|policy| format!("Restart::{policy}")).collect());
    let methods = read(&root().join("flame-actors/src/backend.rs"));
    let methods =
        methods.split("pub trait Backend").nth(1).and_then(|rest| rest.split("\n}").next()).expect("the trait");
    let methods = methods.lines().filter_map(|line| line.strip_prefix("    fn ")?.split(['(', '<']).next());
    has_all("backends.md", "Backend", &methods.map(str::to_owned).collect());
}

#[test]
fn every_failure_names_a_test_that_exists() {
    let tests: String = files(&root().join("tests/tests")).iter().map(|file| read(file)).collect();
    let page = Page::open("failures.md");
    let table = page.source.split("| test |\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("the table");
    let rows: Vec<_> = table.lines().skip(1).collect();
    assert!(rows.len() > 25, "only {} rows: has their form changed?", rows.len());
    for row in rows {
        let test = row.trim_end_matches(" |").rsplit('`').nth(1).expect("a row ends with a test");
        assert!(tests.contains(&format!("async fn {test}(")), "{test} does not exist: {row}");
    }
}

/// What the documentation of Elixir's FLAME 0.5.3 has, on hexdocs.pm: functions, callbacks and options of its modules.
const FLAME: [(&str, &[&str]); 6] = [
    ("FLAME", &["FLAME.call/3", "FLAME.cast/3", "FLAME.place_child/3", "FLAME.track_resources/3"]),
    ("options of calls", &[":timeout", ":link", ":track_resources"]),
    (
        "FLAME.Pool",
        &[
            "child_spec/1",
            "start_link/1",
            "FLAME.Pool.call/3",
            "FLAME.Pool.cast/3",
            "FLAME.Pool.place_child/3",
            ":name",
            ":min",
            ":max",
            ":max_concurrency",
            ":single_use",
            ":backend",
            ":log",
            ":timeout",
            ":boot_timeout",
            ":shutdown_timeout",
            ":idle_shutdown_after",
            ":min_idle_shutdown_after",
            ":on_grow_start",
            ":on_grow_end",
            ":on_shrink",
            ":track_resources",
            ":code_sync",
            ":start_apps",
            ":copy_apps",
            ":copy_paths",
            ":sync_beams",
            ":verbose",
            ":compress",
        ],
    ),
    (
        "FLAME.Backend",
        &["init/1", "remote_boot/1", "remote_spawn_monitor/2", "system_shutdown/0", "handle_info/2", "impl/0"],
    ),
    (
        "FLAME.Parent and FLAME.Trackable",
        &[
            "FLAME.Parent.get/0",
            "FLAME.Parent.new/5",
            "FLAME.Parent.encode/1",
            ":ref",
            ":pid",
            ":flame_vsn",
            ":backend_app",
            ":backend_vsn",
            ":node_base",
            ":host_env",
            "FLAME.Trackable.track/3",
        ],
    ),
    (
        "FLAME.LocalBackend and FLAME.FlyBackend",
        &[
            "FLAME.LocalBackend",
            ":cpu_kind",
            ":cpus",
            ":memory_mb",
            ":gpu_kind",
            ":gpus",
            ":boot_timeout",
            ":app",
            ":image",
            ":token",
            ":host",
            ":init",
            ":cmd",
            ":entrypoint",
            ":exec",
            ":kernel_args",
            ":swap_size_mb",
            ":tty",
            ":services",
            ":metadata",
            ":env",
            ":region",
        ],
    ),
];

#[test]
fn everything_of_flame_is_on_the_page_for_those_who_know_it() {
    let page = Page::open("from-elixir.md");
    let codes: BTreeSet<_> = codes(&page.source).into_iter().collect();
    for (module, names) in FLAME {
        for name in names {
            assert!(codes.contains(name), "{module}: {name} is not on the page");
        }
    }
}

#[test]
fn what_streams_cost_is_measured() {
    let benches: String = files(&root().join("flame-local/benches")).iter().map(|file| read(file)).collect();
    let rows = rows("limits.md");
    let rows: Vec<_> = rows.iter().filter(|row| row.contains(' ')).collect();
    assert!(rows.len() >= 5, "only {rows:?}");
    for row in rows {
        assert!(benches.contains(&format!("Row::new(\"{row}\"")), "make bench has no row {row:?}");
    }
}

#[test]
fn tables_are_whole() {
    for page in Page::all() {
        let mut columns = None;
        for line in page.source.lines() {
            if !line.starts_with("| ") {
                columns = None;
                continue;
            }
            let escaped = line.replace("\\|", "");
            let count = escaped.split('`').step_by(2).map(|text| text.matches('|').count()).sum::<usize>();
            assert_eq!(*columns.get_or_insert(count), count, "{}: a row has more or less columns: {line}", page.name);
        }
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    for page in Page::all() {
        for part in page.text.split("](http").skip(1).map(|rest| rest.split(')').next().unwrap_or_default()) {
            assert!(!part.ends_with(".svg") && !part.ends_with(".png"), "{}: http{part}", page.name);
        }
        assert!(!page.text.contains("<script") && !page.text.contains("<iframe"), "{}", page.name);
    }
}
