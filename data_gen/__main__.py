import sys

from data_gen.generate import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
