//! Holds nothing but a test: the shapes of annotated functions, compiled in edition 2021.
