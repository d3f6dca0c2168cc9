//! The files that a public host reads.

use serde_json::Value;

use crate::yaml::parse;
use crate::{read, root};

fn yaml(path: &str) -> Value {
    parse(&read(path)).unwrap_or_else(|err| panic!("{path}: {err}"))
}

/// The steps of a job: what each uses or runs.
fn steps(workflow: &Value, job: &str) -> Vec<String> {
    let steps = workflow["jobs"][job]["steps"].as_array().unwrap_or_else(|| panic!("the job {job} has no steps"));
    let text = |step: &Value| step["uses"].as_str().or(step["run"].as_str()).map(str::to_owned);
    steps.iter().map(|step| text(step).unwrap_or_else(|| panic!("{step} does nothing"))).collect()
}

#[test]
fn the_workflow_does_what_ci_does() {
    let workflow = yaml(".github/workflows/ci.yml");
    assert!(workflow["on"].get("pull_request").is_some() && workflow["on"]["push"]["branches"][0] == "main");
    assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }));
    let steps = steps(&workflow, "test");
    let at = |what: &str| steps.iter().position(|step| step.contains(what)).unwrap_or_else(|| panic!("no {what}"));
    let order = ["actions/checkout@", "rustup toolchain install \"$TOOLCHAIN\"", "actions/cache@", ".ci/run"].map(at);
    assert!(order.is_sorted(), "{steps:?}");
}

#[test]
fn each_command_of_the_workflow_is_there() {
    let workflow = yaml(".github/workflows/ci.yml");
    let makefile = read("Makefile");
    for job in workflow["jobs"].as_object().unwrap().keys() {
        for step in steps(&workflow, job) {
            if let Some(target) = step.strip_prefix("make ") {
                assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
            }
        }
        assert!(workflow["jobs"][job]["timeout-minutes"].is_u64(), "{job} may hang for hours");
    }
    assert!(root().join(".ci/run").is_file());
}

#[test]
fn an_issue_form_asks_something() {
    for form in ["bug", "idea"] {
        let form = yaml(&format!(".github/ISSUE_TEMPLATE/{form}.yml"));
        assert!(form["name"].is_string() && form["description"].is_string());
        let questions = form["body"].as_array().unwrap();
        let mut ids: Vec<_> = questions.iter().map(|question| question["id"].as_str().unwrap()).collect();
        for question in questions {
            let kind = question["type"].as_str().unwrap();
            assert!(["textarea", "input", "dropdown"].contains(&kind), "{kind}");
            assert!(question["attributes"]["label"].is_string(), "{question}");
            assert_eq!(kind == "dropdown", question["attributes"]["options"].is_array(), "{question}");
        }
        ids.dedup();
        assert_eq!(ids.len(), questions.len(), "{ids:?}");
    }
    assert!(yaml(".github/ISSUE_TEMPLATE/config.yml")["blank_issues_enabled"].is_boolean());
}

#[test]
fn what_security_md_points_at_is_there() {
    let text = read("SECURITY.md");
    for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
        assert!(root().join(target).is_file(), "{target}");
    }
}
