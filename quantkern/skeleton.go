package quantkern
