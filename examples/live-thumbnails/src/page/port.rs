//! The page that tells how the demo is made in Elixir, beside the lines that do the same here.

use maud::{Markup, PreEscaped, html};

use super::{foot, layout, source};

/// One step of the port.
struct Step {
    title: &'static str,
    /// What an Elixir application does.
    elixir: &'static str,
    /// What this one does.
    rust: &'static str,
    file: &'static str,
    lines: Vec<&'static str>,
}

macro_rules! step {
    ($title:literal, $file:literal : $name:literal, $elixir:literal, $rust:literal $(,)?) => {
        Step {
            title: $title,
            elixir: $elixir,
            rust: $rust,
            file: concat!("src/", $file),
            lines: source::excerpt(include_str!(concat!("../", $file)), $name),
        }
    };
}

fn steps() -> [Step; 9] {
    [
        step!(
            "A pool, declared like any other part",
            "backend.rs": "pool",
            "The application's supervision tree gets one more child: a FLAME pool with a name, a minimum and a maximum of
             runners, how much one runner does at a time, and how long it may be idle. Which machines runners are is
             the backend's business, set in the configuration.",
            "A builder with the same words. The pool is started on the parent and on each runner, since both run the
             same main; with another backend the rest of this crate stays as it is.",
        ),
        step!(
            "The same application, started again",
            "main.rs": "main",
            "The runner boots the whole release. Its supervision tree asks FLAME whether it has a parent, and leaves out
             what only the parent is to have, such as the web server. The repository of the database is in both.",
            "One if. Above it is what both have: the node, the database, which tasks and actors find again on a runner,
             and the pool. Below it is the web server, which only the parent has.",
        ),
        step!(
            "A page is a process",
            "visitors.rs": "visit",
            "Phoenix LiveView has a process for each open page. It holds the page's state, hears messages, and sends
             changes to the browser over a WebSocket. When the tab closes the process ends.",
            "An actor for each open page, with the same life: dropped with its WebSocket, a visit takes its actor along.",
        ),
        step!(
            "The one line that makes it elastic",
            "web/upload.rs": "place",
            "To run here, the generator would be started under a dynamic supervisor of this node. Elastic, it is the
             same child specification given to FLAME's place_child with the name of the pool: it starts on a runner,
             which boots if there is none, and is linked to the page's process as before.",
            "Here it would be Actor::spawn_linked. Elastic, it is the marked line. What comes back is an ordinary
             ActorRef, and the link to the page's actor is an ordinary link.",
        ),
        step!(
            "Each chunk goes on as it comes",
            "web/upload.rs": "feed",
            "LiveView lets an upload have a writer of its own, so that chunks go somewhere else than into a temporary file:
             each is handed to the generator by a message to its pid, wherever that is. The browser sends the
             next chunk when the last one has been taken.",
            "The same, with a bound on what is under way: send waits for the generator, so nothing more is read from the
             socket, so the browser waits. Memory does not grow with the video.",
        ),
        step!(
            "An actor around ffmpeg",
            "generator.rs": "generator",
            "A GenServer that starts ffmpeg as an external program, writes each chunk to its standard input, and is given
             at its start the pid that is to have the images. Nothing in it knows that it runs elsewhere.",
            "The same as an actor; placeable makes its type known to runners. Its arguments have the address of the page's
             actor. Dropped in whatever way, its state takes ffmpeg and the spool file along.",
        ),
        step!(
            "Images go straight to the page",
            "generator.rs": "images",
            "The GenServer cuts what ffmpeg prints into images, and sends each to the page's process with a plain send.
             Distribution is the virtual machine's affair.",
            "A cast to the page's actor, which lives in another process; no queue, no store and no broker is between the
             two. The database on the runner's side is the application's own.",
        ),
        step!(
            "A message becomes a part of the page",
            "visitor.rs": "show",
            "The page's process takes the image as an ordinary message and puts it into a stream of its template; what goes to
             the browser is the difference.",
            "The page's actor takes it as an ordinary message, renders it with a template that escapes, and says where it
             goes. A small script does that.",
        ),
        step!(
            "Links tell of every end",
            "visitor.rs": "links",
            "The page's process and the generator watch each other. When the tab closes, the generator ends on the
             runner; when the runner dies, the page is told and says so.",
            "The supervision events of an actor framework, across machines: an error comes with its text, a lost runner
             with the reason as far as it is known.",
        ),
    ]
}

/// The whole page.
pub(crate) fn page() -> Markup {
    let content = html! {
        header.top {
            a.brand href="/" { (PreEscaped(include_str!("../../assets/icon.svg"))) span { "Live thumbnails" } }
            nav { a href="/" { "Back to the demo" } }
        }
        main {
            section.hero {
                h1 { "The port, side by side" }
                p { "FLAME became known by this demo, written in Elixir. Here is what its parts are there, in words, beside the
                    lines of this application that do the same. They are cut out of its source as it was built." }
            }
            div.steps {
                @for (number, step) in steps().iter().enumerate() {
                    section.step data-testid="step" {
                        h2 { (number + 1) ". " (step.title) }
                        div { h3 { "In Elixir" } p { (step.elixir) } }
                        div { h3 { "Here" } p { (step.rust) } }
                        div.code {
                            h3 { code { (step.file) } }
                            (source::code(&step.lines))
                        }
                    }
                }
            }
        }
        (foot())
    };
    layout("The port, side by side", false, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_shows_lines_and_exactly_one_line_makes_it_elastic() {
        let steps = steps();
        for step in &steps {
            assert!((4..=60).contains(&step.lines.len()), "{}: {} lines", step.title, step.lines.len());
        }
        let page = page().into_string();
        assert_eq!(page.matches("data-testid=\"elastic\"").count(), 1);
        let marked = page.split_once("<mark").expect("a line is marked").1;
        assert!(marked.split_once("</mark>").expect("it ends").0.contains(".place_child(ThumbnailGenerator, open)"));
    }
}
