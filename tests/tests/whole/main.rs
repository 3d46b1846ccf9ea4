//! The program as its users meet it: started, spoken to over HTTP, killed, and read by others.

#![allow(clippy::unwrap_used)]

mod accounts;
mod answers;
mod archive;
mod away;
mod backup;
mod crash;
mod demo;
mod limits;
mod money;
mod operate;
mod quotas;
mod receipts;
mod recomputed;
mod refusals;
mod rejections;
mod replay;
mod sending;
mod staff;
mod tenants;
