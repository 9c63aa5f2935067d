use std::collections::HashMap;
use std::path::Path;

use candle_core::Tensor;
use jnana_models::projector::{Projector, ProjectorInfo};

use crate::{largest_difference, tensors};

#[test]
fn the_projector_equals_torch() {
    let mut tensors = tensors("projector.safetensors");
    let info =
        ProjectorInfo { space: "s".into(), encoder: String::new(), d_in: 12, width: 16, trained: true };
    let project = |tensors: &HashMap<String, Tensor>| {
        Projector::from_tensors(info.clone(), tensors, Path::new("fixture")).unwrap()
    };
    let scaled = project(&tensors).forward(&tensors["input"]).unwrap();
    assert!(largest_difference(&scaled, &tensors["scaled"]) <= 1e-5);
    tensors.remove("scale");
    let plain = project(&tensors).forward(&tensors["input"]).unwrap();
    assert!(largest_difference(&plain, &tensors["output"]) <= 1e-5);
}
