// Package offheap has memory that is there for a while: Go's collector does not take it for a reason to let the heap
// grow by as much, and it is gone as soon as it is given back.
package offheap
