//! Devices and number types by the names that people give them.

use candle_core::{DType, Device};

use crate::{Error, Result};

/// `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// When there is no such name, the program was built without CUDA, or no such GPU can be used.
pub fn parse_device(name: &str) -> Result<Device> {
    let refuse = |reason: String| Error::Options { option: format!("device {name}"), reason };
    let unknown = || refuse("expected cpu, cuda or cuda:N".to_owned());
    let Some(rest) = name.strip_prefix("cuda") else {
        return if name == "cpu" { Ok(Device::Cpu) } else { Err(unknown()) };
    };
    let index = match rest.strip_prefix(':') {
        None if rest.is_empty() => 0,
        None => return Err(unknown()),
        Some(index) => index.parse().map_err(|_| unknown())?,
    };
    if !cfg!(feature = "cuda") {
        return Err(refuse(
            "this program was built without CUDA; `cargo xtask cuda` builds one with it, or use --device cpu"
                .to_owned(),
        ));
    }
    Device::new_cuda(index).map_err(|error| {
        refuse(format!("no CUDA device {index} can be used; --device cpu always works: {error}"))
    })
}

/// `f32`, `f16` or `bf16`.
///
/// # Errors
/// When it is none of them.
pub fn parse_dtype(name: &str) -> Result<DType> {
    match name.to_ascii_lowercase().as_str() {
        "f32" => Ok(DType::F32),
        "f16" => Ok(DType::F16),
        "bf16" => Ok(DType::BF16),
        _ => Err(Error::Options {
            option: format!("type {name}"),
            reason: "expected f32, f16 or bf16".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_are_refused() {
        assert!(parse_device("cpu").unwrap().is_cpu());
        for name in ["", "gpu", "cuda0", "cuda:", "cuda:x", "CPU"] {
            let error = parse_device(name).unwrap_err().to_string();
            assert!(error.contains("expected cpu, cuda or cuda:N"), "{name}: {error}");
        }
        assert_eq!(parse_dtype("BF16").unwrap(), DType::BF16);
        assert!(parse_dtype("q4_0").is_err());
    }
}
