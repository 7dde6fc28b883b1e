//! The contracts, each a type and a page.

pub(crate) mod chosen;
pub(crate) mod linux7;
pub(crate) mod rules;
pub(crate) mod v3;

/// The rules a task follows, as a type: [`V3`](crate::V3) or [`Linux7`](crate::Linux7), and for comparisons
/// [`Chosen`](crate::Chosen) and the [baselines](crate::baseline).
///
/// A kernel names one, in the type of its tasks' [`TaskMmu`](crate::TaskMmu), and pays for no choice. It cannot be
/// implemented elsewhere: what a contract promises is proved for those that are here.
pub trait Contract: rules::Rules {}

impl<R: rules::Rules> Contract for R {}
