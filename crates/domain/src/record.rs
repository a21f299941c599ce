//! Records: the persisted shapes, one file per resource.
