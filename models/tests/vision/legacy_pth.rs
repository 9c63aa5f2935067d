use jnana_models::vision::pth::{self, PthError};

use crate::{fixture, tensors};

/// Several element types, a transposed tensor and a view that share a storage, a scalar, an empty tensor.
#[test]
fn a_file_that_torch_wrote_is_read_exactly() {
    let read = pth::read(&fixture("legacy.pth")).unwrap();
    let expected = tensors("legacy.safetensors");
    assert_eq!(read.len(), expected.len());
    for (name, expected) in &expected {
        let tensor = &read[name];
        assert_eq!(tensor.dtype(), expected.dtype(), "{name}");
        assert_eq!(tensor.dims(), expected.dims(), "{name}");
        assert_eq!(format!("{tensor}"), format!("{expected}"), "{name}");
    }
}

#[test]
fn the_newer_zip_format_is_named_as_something_else() {
    let error = pth::read(&fixture("clip-gelu/pytorch_model.bin")).unwrap_err();
    assert!(matches!(error, PthError::Magic), "{error}");
}

#[test]
fn no_truncation_of_torchs_file_passes() {
    let whole = std::fs::read(fixture("legacy.pth")).unwrap();
    for n in 0..whole.len() {
        assert!(pth::read_bytes(&whole[..n]).is_err(), "cut at {n}");
    }
}
