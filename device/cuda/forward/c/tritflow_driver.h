// What the forwarding library says about the driver behind it.
#ifndef TRITFLOW_DRIVER_H
#define TRITFLOW_DRIVER_H

enum tritflow_driver_state {
	TRITFLOW_DRIVER_READY,   // loaded and initialized
	TRITFLOW_DRIVER_ABSENT,  // no library: detail is what the loader said
	TRITFLOW_DRIVER_REFUSED, // cuInit failed: code is its answer
};

struct tritflow_driver {
	enum tritflow_driver_state state;
	int code;
	const char *library; // what was looked for
	const char *detail;
};

// Loads and initializes the driver, once; every call gives the same answer.
const struct tritflow_driver *tritflow_driver_open(void);

#endif
