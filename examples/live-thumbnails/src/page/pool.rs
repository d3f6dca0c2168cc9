//! The strip of the pool on the page.

use std::collections::VecDeque;
use std::time::SystemTime;

use flame_actors::{PoolStatus, RunnerState, RunnerStatus};
use maud::{Markup, html};

use crate::cli::Cli;
use crate::words::short;

/// The pool at this moment.
pub(crate) fn strip(status: &PoolStatus, told: &VecDeque<String>, cli: &Cli, now: SystemTime) -> Markup {
    let is_empty = status.runners.is_empty() && status.booting == 0;
    html! {
        ul.counts {
            li data-testid="pool-runners" data-count=(status.runners.len()) {
                b { (status.runners.len()) } " of " (status.max) " runners"
            }
            li data-testid="pool-booting" data-count=(status.booting) { b { (status.booting) } " booting" }
            li data-testid="pool-waiting" data-count=(status.waiting) data-some[status.waiting > 0] {
                b { (status.waiting) } " waiting"
            }
        }
        ul.runners data-testid="pool-strip" {
            @for runner in &status.runners { (one(runner, status, cli, now)) }
            @for _ in 0..status.booting {
                li.runner data-testid="runner" data-state="booting" {
                    span.state { "booting" }
                    span.who { "a copy of this application starts" }
                }
            }
            @if is_empty {
                li.runner data-testid="no-runner" data-state="none" {
                    span.state { "no runner" }
                    span.who { "the next upload boots one" }
                }
            }
        }
        ol.told data-testid="pool-events" aria-label="What happened last" {
            @for words in told { li { (words) } }
        }
    }
}

fn one(runner: &RunnerStatus, pool: &PoolStatus, cli: &Cli, now: SystemTime) -> Markup {
    let state = match runner.state {
        RunnerState::Idle => "idle",
        RunnerState::Busy => "busy",
        _ => "leaving",
    };
    // Those of the minimum stay.
    let leaves = runner.idle_since.filter(|_| pool.runners.len() > pool.min).map(|since| {
        let idle = now.duration_since(since).unwrap_or_default();
        // Rounded up: it is still there.
        cli.idle.saturating_sub(idle).as_millis().div_ceil(1000)
    });
    let who = short(&runner.node);
    let is_process = cli.backend.can_kill();
    html! {
        li.runner data-testid="runner" data-state=(state) data-node=(runner.node)
            data-pid=[is_process.then_some(&runner.instance)] {
            span.state data-testid="runner-state" { (state) }
            span.who title=(runner.node) {
                b { (who) }
                @if is_process { " · process " (runner.instance) }
            }
            @match leaves {
                Some(seconds) => { span.leaves data-testid="countdown" { "leaves in " (seconds) " s" } }
                None => {
                    span.slots role="img" aria-label={ (runner.slots_used) " of " (pool.max_concurrency) " slots in use" } {
                        @for slot in 0..pool.max_concurrency.min(8) { i data-used[slot < runner.slots_used] {} }
                    }
                }
            }
            @if is_process && state != "leaving" {
                button.kill type="button" id={ "kill-" (who) } data-testid="kill" data-kill=(runner.node)
                    title="kill -9" aria-label={ "Kill runner " (who) } { "Kill" }
            }
        }
    }
}
