//go:build pinned

// Package pinned names the commands that are built, so that `go mod tidy` keeps what they need.
package pinned

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/v2/cmd/ctr"
)
