//go:build pinned

// Package pinned names the commands that are built, so that `go mod tidy` keeps what they need.
package pinned

import (
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
