"""The portrait look: ICT-FaceKit's head, fitted to photographs of people and textured with them."""
