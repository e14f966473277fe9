//go:build pinned

// Package pinned names the commands that are built, so that `go mod tidy` keeps what they need.
package pinned

import (
	_ "go.etcd.io/etcd/server/v3"
)
