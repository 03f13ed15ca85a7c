//! With the real models.
