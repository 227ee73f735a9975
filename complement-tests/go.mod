module vestibule/complement-tests

go 1.25.0

require github.com/matrix-org/complement v0.0.0-20260701165844-50044edb68c3
