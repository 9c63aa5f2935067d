//! One definition of pixels and samples, for serving and for training.
