//! `apply`, done on the client's side as `kubectl apply` does it: the annotation with what was applied last, and a
//! three-way merge against it. Both programs read and write the same annotation, so they may take turns.

mod encode;
mod one;
mod plan;
mod run;

pub(crate) use encode::encode;
pub(crate) use run::{Options, run};
