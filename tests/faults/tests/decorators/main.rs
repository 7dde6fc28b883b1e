//! Each fault does what it says and nothing else, and no fault does nothing.

mod instructions;
mod machine;
mod mode;
mod services;
