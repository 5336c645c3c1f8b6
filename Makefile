# Targets with one line of help each: make, or make help.
.PHONY: help run test build vet format unit modules packager cluster versions arm64 docker clean bench bench-forky soak lint race asan cgocheck valgrind fuzz vuln
export CGO_ENABLED = 1

help: ## This list
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 22

run: ## Install what is missing, and do the tour on a private broker
	@.ci/need compiler pkg-config library mosquitto
	go run ./examples/tour

test: ## Install what is missing, and check everything
	@.ci/need compiler pkg-config library mosquitto mosquitto_pub openssl ssl-headers certificates
	@$(MAKE) --no-print-directory format build vet lint unit modules packager

format: ## Check that gofmt would change nothing
	@changes=$$(gofmt -l .) && [ -z "$$changes" ] || { echo "gofmt would change:" $$changes; exit 1; }

build: ## Build all packages; a warning of the C compiler is an error
	CGO_CFLAGS="-O2 -g -Werror" go build ./...

vet: ## go vet
	go vet ./...

unit: ## All tests, with the race detector, against the real broker
	go test -race -count=1 -timeout 20m ./...

modules: ## The tests of the modules nested in this one: an outbox, and an example
	.ci/modules go vet ./...
	.ci/modules go test -race -count=1 ./...

packager: ## What others do with a release: fetch it, vendor it, install its examples
	.ci/packager

cluster: ## Install what is missing, and test with clusters of NATS, RabbitMQ 3 and RabbitMQ 4
	@.ci/cluster

versions: ## All tests with the libraries and brokers of Debian 13 and forky
	.ci/versions

arm64: ## Cross compile for arm64 in a Debian root; tests and the tour in an emulator
	.ci/arm64

docker: ## Build the Dockerfile's images, test in one, tour in the other
	.ci/docker

clean: ## Remove the roots and images that versions, cluster, arm64 and docker keep
	.ci/clean

bench: ## Measure beside C and the clients in Go; writes docs/bench.md, takes minutes
	@.ci/need compiler pkg-config library mosquitto
	cd test/bench && go run . -out ../../docs

bench-forky: ## The same with forky's libmosquitto 2.1; writes docs/bench-forky.md
	.ci/bench-forky

soak: ## Ten minutes of faults and restarts (ARGS='-for 2m -seed 1'): nothing is lost, leaks or hangs
	@.ci/need compiler pkg-config library mosquitto
	go run ./test/soak $(ARGS)

tool = go tool -modfile=$(CURDIR)/.ci/tools/go.mod

lint: ## staticcheck and golangci-lint, of all modules
	$(tool) staticcheck ./...
	$(tool) golangci-lint run ./...
	.ci/modules $(tool) golangci-lint run ./...
	cd test/bench && $(tool) golangci-lint run ./...

race: unit ## All tests with the race detector: what make test runs

asan: ## All tests with the address sanitizer, and a search for leaks in C
	@.ci/need compiler pkg-config library mosquitto mosquitto_pub openssl ssl-headers certificates
	ASAN_OPTIONS=fast_unwind_on_malloc=0:quarantine_size_mb=16 LSAN_OPTIONS=suppressions=$(CURDIR)/.ci/lsan.supp:print_suppressions=0 go test -asan -count=1 -timeout 40m ./...

cgocheck: ## All tests with the strictest checks of pointers, and a garbage collector that never rests
	@.ci/need compiler pkg-config library mosquitto mosquitto_pub openssl ssl-headers certificates
	GOEXPERIMENT=cgocheck2 GODEBUG=invalidptr=1 GOGC=1 go test -count=1 -timeout 40m ./...

valgrind: ## The tour under valgrind: our C uses no memory that is not its own
	@.ci/need compiler pkg-config library mosquitto valgrind
	.ci/valgrind

fuzz: ## Each fuzz target for a minute (ARGS='10s Router': for less, and only some)
	@.ci/need compiler pkg-config library mosquitto
	.ci/fuzz $(ARGS)

vuln: ## Known vulnerabilities of the dependencies; needs the network
	.ci/vuln
