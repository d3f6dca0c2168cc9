//! placeholder
use maud::{Markup, html};
/// x
pub(crate) fn page() -> Markup {
    super::layout("x", false, html! {})
}
