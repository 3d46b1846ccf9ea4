#![no_main]

#[path = "../targets/clickhouse.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::check(data));
