//! What is asked of the Machines API, and what becomes of its answers: against an API that answers as it is told.
//!
//! Nothing is booted here: `tests/tests/fly` has runners that join.

mod contract;
mod doctor;
mod finals;
mod once;
mod pace;
mod places;
mod retries;
mod secret;
mod stub;
mod sweep;
