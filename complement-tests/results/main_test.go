package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

const run = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA/one","Output":"why it failed\n"}
{"Action":"fail","Package":"p","Test":"TestA/one"}
{"Action":"pass","Package":"p","Test":"TestA/two"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p","Elapsed":1.5}
`

func TestReadKeepsLeavesAndShowsFailures(t *testing.T) {
	var out bytes.Buffer
	read, err := Read(strings.NewReader(run), &out)
	if err != nil {
		t.Fatal(err)
	}
	results := read.Results
	if read.Seconds["p"] != 1.5 {
		t.Errorf("got %v", read.Seconds)
	}
	want := Results{"p\tTestA/one": "fail", "p\tTestA/two": "pass", "p\tTestB": "skip"}
	if !reflect.DeepEqual(results, want) {
		t.Errorf("got %v", results)
	}
	if !strings.Contains(out.String(), "why it failed") {
		t.Errorf("the failure's output is missing: %q", out.String())
	}
	if !reflect.DeepEqual(Parse(results.String()), results) {
		t.Error("a results file does not read back")
	}
}

func TestATestThatFailsByItselfIsKeptBesideItsSubtests(t *testing.T) {
	all := Results{"p\tTestA": "fail", "p\tTestA/one": "pass", "p\tTestB": "fail", "p\tTestB/one": "fail"}
	want := Results{"p\tTestA": "fail", "p\tTestA/one": "pass", "p\tTestB/one": "fail"}
	if got := all.leaves(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestPackagesThatDidNotRunAreLeftAlone(t *testing.T) {
	kept := Results{"p\tTestA": "pass", "p/q\tTestB": "pass"}
	if got := kept.of(func(pkg string) bool { return pkg == "p" }); !reflect.DeepEqual(got, Results{"p\tTestA": "pass"}) {
		t.Errorf("got %v", got)
	}
}

func TestReadToldOfAPackageThatFailedAsAWhole(t *testing.T) {
	if _, err := Read(strings.NewReader(`{"Action":"fail","Package":"p"}`), &bytes.Buffer{}); err == nil {
		t.Error("no error")
	}
}

func TestDiffShowsEveryKindOfChange(t *testing.T) {
	kept := Results{"p\tTestA": "pass", "p\tTestB": "pass", "p\tTestC": "fail"}
	now := Results{"p\tTestA": "fail", "p\tTestC": "fail", "p\tTestD": "pass"}
	want := []string{"p\tTestA\tfail, was pass", "p\tTestB\tdid not run", "p\tTestD\tnew: pass"}
	if got := Diff(kept, now); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}
