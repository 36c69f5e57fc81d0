from ml_collections import ConfigDict as ConfigDict
