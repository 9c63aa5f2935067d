//! Milliseconds for one picture, encoder and projector together:
//! `cargo bench -p jnana-vision -- [--threads N] [--width N] ENCODER…`, each a path as in the plugin's setting `encoder`.

use std::error::Error;
use std::time::{Duration, Instant};

use jnana_plugin_sdk::{Call, Create, Input, Plugin};
use jnana_vision::Vision;
use serde_json::{Value, json};

const SIDE: u32 = 224;
const RUNS: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let mut threads = 2;
    // SmolLM2-135M's; phi-2's is 2560.
    let mut width = 576;
    let mut encoders = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo's own.
            "--bench" => {}
            "--threads" => threads = arguments.next().ok_or("--threads takes a number")?.parse()?,
            "--width" => width = arguments.next().ok_or("--width takes a number")?.parse()?,
            _ => encoders.push(argument),
        }
    }
    for encoder in encoders {
        let (median, least) = measure(&encoder, threads, width)?;
        println!("{encoder}: median {median:.1?}, least {least:.1?} ({RUNS} runs, {threads} threads)");
    }
    Ok(())
}

fn measure(encoder: &str, threads: usize, width: usize) -> Result<(Duration, Duration), Box<dyn Error>> {
    let Value::Object(settings) = json!({ "encoder": encoder }) else { return Err("not an object".into()) };
    let cache_dir = std::env::temp_dir();
    let vision = Vision::create(Create { space: "bench".into(), width, threads, cache_dir, settings })?;
    let encoder = vision.encoder().ok_or("the plugin has no encoder")?;
    let pixels: Vec<u8> = (0..SIDE * SIDE * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let input = Input::Image { width: SIDE, height: SIDE, pixels: &pixels };
    let call = Call::new(&|| false, &|_| true);
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        encoder.encode(&input, &call)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok((times[RUNS / 2], times[0]))
}
