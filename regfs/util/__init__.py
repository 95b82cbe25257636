"""Small parts that know nothing of registries: single flight, jobs, directories of the user's alone, XDG places."""
