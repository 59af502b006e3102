//! Tables and checkpoints on an object store: a store in memory, of which every request can be refused before it is
//! done, or lose its answer after it.

mod careless;
mod chain;
mod launch;
mod requests;
mod store;
mod table;
mod turns;
