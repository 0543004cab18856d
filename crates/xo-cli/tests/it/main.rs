//! The program against a real server in front of a simulated pool, and against servers that misbehave.

mod calls;
mod objects;
mod registration;
mod support;
mod transfers;
