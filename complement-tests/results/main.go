// Command results reads what `go test -json` prints of a conformance run, compares it with the results kept in the repository
// and shows every change.
//
//	go test -json … | go run ./results -kept results.tsv [-whole] [-update]
//
// Only tests without subtests are compared: what a test with subtests says follows from them, unless it fails by itself. Packages
// that did not run are left alone; with -whole, they are missed. It ends with the totals and how long each package took, and with
// exit status 1 if anything differs, for better or worse, so that a change of the results is a change in the repository.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"
)

// Longest line of JSON a test may print.
const lineBytesMax = 16 << 20

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// Results are the outcomes (pass, fail or skip) by test, "package<TAB>test".
type Results map[string]string

// Run is what came out of one run.
type Run struct {
	Results Results
	// Seconds by package.
	Seconds map[string]float64
}

// Read takes the outcomes out of a run. Output of tests that failed goes to out.
func Read(in io.Reader, out io.Writer) (Run, error) {
	results, output, broken := Results{}, map[string][]string{}, []string(nil)
	seconds := map[string]float64{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, lineBytesMax)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text())
			continue
		}
		test := e.Package + "\t" + e.Test
		switch {
		case e.Action == "output":
			output[test] = append(output[test], e.Output)
		case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
			if e.Test == "" {
				seconds[e.Package] += e.Elapsed
			}
			if e.Test != "" {
				results[test] = e.Action
			} else if e.Action == "fail" {
				broken = append(broken, e.Package)
			}
			if e.Action == "fail" {
				fmt.Fprint(out, strings.Join(output[test], ""))
			}
			delete(output, test)
		}
	}
	run := Run{results.leaves(), seconds}
	for _, pkg := range broken {
		if !run.Results.anyFailed(pkg) {
			return run, fmt.Errorf("%s failed as a whole: it did not build, or ended early", pkg)
		}
	}
	return run, lines.Err()
}

func (r Results) leaves() Results {
	parents, explained := map[string]bool{}, map[string]bool{}
	for test, outcome := range r {
		for end := strings.LastIndexByte(test, '/'); end > strings.IndexByte(test, '\t'); end = strings.LastIndexByte(test[:end], '/') {
			parents[test[:end]] = true
			explained[test[:end]] = explained[test[:end]] || outcome == "fail"
		}
	}
	leaves := Results{}
	for test, outcome := range r {
		// A test that fails although all its subtests pass has something of its own to say.
		if !parents[test] || (outcome == "fail" && !explained[test]) {
			leaves[test] = outcome
		}
	}
	return leaves
}

// of keeps the outcomes of packages that pass the test.
func (r Results) of(wanted func(pkg string) bool) Results {
	some := Results{}
	for test, outcome := range r {
		if wanted(test[:strings.IndexByte(test, '\t')]) {
			some[test] = outcome
		}
	}
	return some
}

func (r Results) anyFailed(pkg string) bool {
	for test, outcome := range r {
		if outcome == "fail" && strings.HasPrefix(test, pkg+"\t") {
			return true
		}
	}
	return false
}

// Diff lists what differs between the results kept and those of a run, one line each, sorted.
func Diff(kept, now Results) []string {
	var lines []string
	for test, outcome := range now {
		if before, known := kept[test]; !known {
			lines = append(lines, fmt.Sprintf("%s\tnew: %s", test, outcome))
		} else if before != outcome {
			lines = append(lines, fmt.Sprintf("%s\t%s, was %s", test, outcome, before))
		}
	}
	for test := range kept {
		if _, ran := now[test]; !ran {
			lines = append(lines, test+"\tdid not run")
		}
	}
	sort.Strings(lines)
	return lines
}

// Parse reads a results file.
func Parse(text string) Results {
	results := Results{}
	for _, line := range strings.Split(text, "\n") {
		if end := strings.LastIndexByte(line, '\t'); end > 0 {
			results[line[:end]] = line[end+1:]
		}
	}
	return results
}

// String is the form of a results file: package, test, outcome, separated by tabs, sorted.
func (r Results) String() string {
	lines := make([]string, 0, len(r))
	for test, outcome := range r {
		lines = append(lines, test+"\t"+outcome+"\n")
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}

func main() {
	path := flag.String("kept", "results.tsv", "the results kept in the repository")
	update := flag.Bool("update", false, "write the results of this run to that file")
	whole := flag.Bool("whole", false, "miss packages that did not run")
	flag.Parse()
	run, err := Read(os.Stdin, os.Stdout)
	check(err)
	text, err := os.ReadFile(*path)
	if !os.IsNotExist(err) {
		check(err)
	}
	kept := Parse(string(text))
	left := kept.of(func(pkg string) bool { _, ran := run.Seconds[pkg]; return !ran && !*whole })
	changes := Diff(kept.of(func(pkg string) bool { _, ran := run.Seconds[pkg]; return ran || *whole }), run.Results)
	for _, change := range changes {
		fmt.Println(change)
	}
	fmt.Printf("%d changes against %s\n", len(changes), *path)
	counts := map[string]int{}
	for _, outcome := range run.Results {
		counts[outcome]++
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", counts["pass"], counts["fail"], counts["skip"])
	for _, pkg := range slices.Sorted(maps.Keys(run.Seconds)) {
		fmt.Printf("%6.1f s  %s\n", run.Seconds[pkg], pkg)
	}
	if *update {
		maps.Copy(left, run.Results)
		check(os.WriteFile(*path, []byte(left.String()), 0o644))
	} else if len(changes) > 0 {
		os.Exit(1)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "results:", err)
		os.Exit(1)
	}
}
