//go:build tools

// Package tools names what is built here, so that go.sum has its hashes.
package tools

import _ "github.com/stripe/stripe-mock"
